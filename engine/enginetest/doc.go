// Package enginetest proves that the engine loses nothing it acknowledged.
//
// FS is a file system in memory that can lose power: what was not synced survives in part, torn at sectors, and the
// engine that used it runs on into the void. Store gates an object store in the same way. Checker holds what the outside
// was promised: acknowledged batches are present with their content, an offset's content never changes once read, no
// batch appears twice, committed offsets never go back, topics that were created exist.
//
// FS.Swallow turns one kind of sync into a lie: the proof is only worth something if the checker then fails.
//
// It is for tests only. Start at FS.Crash and Checker.
package enginetest
