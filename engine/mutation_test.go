package engine_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/streamkeeper-io/streamkeeper/engine"
)

// harmless are syncs whose loss breaks no promise, with the reason.
var harmless = map[string]string{
	"index/log:data": "the index runs without a write-ahead log; Pebble still closes an empty one",
	"index/log":      "the index runs without a write-ahead log; Pebble still closes an empty one",
}

// passing are functions that only pass a sync on, and those whose files no FS of a test holds.
var passing = map[string]string{
	"guard.":                           "passes Pebble's syncs on",
	"enginetest.":                      "is the disk",
	"commitlog.SyncDir":                "its callers are told apart",
	"tier/objectstore.(*File).syncDir": "its callers are told apart",
	"commitlog.(*Log).Sync":            "asks the writer, as do all that call it:",

	"engine.(*Engine).apply": "", "engine.(*Engine).flushLoop": "", "engine.journal.AppendTierRecord": "",
}

// TestCrash_SwallowedSyncIsFound proves that TestCrash can fail: for each kind of file that the engine syncs, syncs that
// lie must break a promise within a bounded number of seeds. All functions that call a sync must have been there.
func TestCrash_SwallowedSyncIsFound(t *testing.T) {
	sites, files := map[string]int{}, map[string]int{}
	for seed := range uint64(24) {
		c := newCrash(seed+1, "")
		if seed%4 == 3 {
			c.flush = engine.FlushInterval
		}
		if err := c.run(); err != nil {
			t.Fatal(err)
		}
		for s, n := range c.sites {
			file, _, _ := strings.Cut(s, " ")
			sites[s] += n
			if !strings.HasPrefix(file, "store/") && !strings.HasPrefix(file, "data.restoring/") {
				files[file] += n
			}
		}
	}
	for _, s := range slices.Sorted(maps.Keys(sites)) {
		t.Logf("%7d %s", sites[s], s)
	}
	t.Run("every call is exercised", func(t *testing.T) { exercised(t, sites) })
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if harmless[file] != "" {
			continue
		}
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(1000) {
				if err := newCrash(seed+1, file).run(); err != nil {
					t.Logf("seed %d: %v", seed+1, err)
					return
				}
			}
			t.Errorf("no seed noticed that these syncs do nothing")
		})
	}
}

// exercised compares the functions of the engine's source that call a sync with those that were seen to.
func exercised(t *testing.T, sites map[string]int) {
	seen := map[string]bool{}
	for s := range sites {
		_, fn, _ := strings.Cut(s, " ")
		seen[fn] = true
	}
	calls := syncCalls(t)
	if len(calls) < 8 {
		t.Errorf("only %d functions of the source call a sync: the search is broken", len(calls))
	}
	for _, fn := range calls {
		known := seen[strings.TrimPrefix(fn, "engine.")]
		for prefix := range passing {
			known = known || strings.HasPrefix(fn, prefix)
		}
		if !known {
			t.Errorf("%s calls a sync, but no seed got there", fn)
		}
	}
}

// syncCalls lists the functions below this folder that call Sync, SyncData or SyncDir, as package.(*Type).Name.
func syncCalls(t *testing.T) (calls []string) {
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(name))
		if pkg == "." {
			pkg = "engine"
		}
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && callsSync(fn) {
				calls = append(calls, pkg+"."+funcName(fn))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return calls
}

func callsSync(fn *ast.FuncDecl) (found bool) {
	ast.Inspect(fn, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		name := ""
		switch x := call.Fun.(type) {
		case *ast.SelectorExpr:
			name = x.Sel.Name
		case *ast.Ident:
			name = x.Name
		}
		found = found || name == "Sync" || name == "SyncData" || name == "SyncDir"
		return true
	})
	return found
}

func funcName(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	typ, star := fn.Recv.List[0].Type, false
	if p, ok := typ.(*ast.StarExpr); ok {
		typ, star = p.X, true
	}
	if g, ok := typ.(*ast.IndexExpr); ok {
		typ = g.X
	}
	name := typ.(*ast.Ident).Name
	if star {
		name = "(*" + name + ")"
	}
	return name + "." + fn.Name.Name
}
