package broker

// requestSchemas are the layouts of the requests that kmsg decodes, as far as the guard must know them: derived from
// kmsg's decoder and held against its encoder by TestSchemasFollowKmsg.
//
//	1 2 4 8 u     a number of so many bytes; a UUID
//	s b           a string, bytes; null allowed
//	[n …]         an array of structs, each of n bytes in Go
//	<n x>         an array of plain values, likewise
//	?{ … }        a struct behind a presence byte
//	@lo-hi        only in these versions; @lo- from lo on
//
// The first value is the version from which lengths are compact and structs end in tags.
var requestSchemas = map[int16]struct {
	flexible int16
	layout   string
}{
	2:  {6, "4 1@2- [48 s [32 4 4@4- 8 4@0-0]] 4@10-"},                                // ListOffsets
	3:  {9, "[32 u@10- s] 1@4- 1@8-10 1@8-"},                                          // Metadata
	8:  {8, "s 4@1- s@1- s@7- 8@2-4 [64 s@0-9 u@10- [48 4 8 8@1-1 4@6- s]]"},          // OffsetCommit
	9:  {6, "s@0-7 [48 s <4 4>]@0-7 [64 s s@9- 4@9- [64 s@8-9 u@10- <4 4>]]@8- 1@7-"}, // OffsetFetch
	10: {3, "s@0-3 1@1- <16 s>@4-"},                                                   // FindCoordinator
	11: {6, "s 4 4@1- s s@5- s [48 s b] s@8-"},                                        // JoinGroup
	12: {4, "s 4 s s@3-"},                                                             // Heartbeat
	13: {4, "s s@0-2 [40 s s s@5-]@3-"},                                               // LeaveGroup
	14: {4, "s 4 s s@3- s@5- s@5- [48 s b]"},                                          // SyncGroup
	15: {5, "<16 s> 1@3-"},                                                            // DescribeGroups
	16: {3, "<16 s>@4- <16 s>@5-"},                                                    // ListGroups
	17: {noFlexible, "s"},                                                             // SASLHandshake
	18: {3, "s@3- s@3- s@5- 4@5-"},                                                    // ApiVersions
	19: {5, "[80 s 4 2 [40 4 <4 4>] [32 s s]] 4 1@1-"},                                // CreateTopics
	20: {4, "<16 s>@0-5 [32 s u]@6- 4"},                                               // DeleteTopics
	21: {2, "[48 s [24 4 8]] 4"},                                                      // DeleteRecords
	22: {2, "s 4 8@3- 2@3-"},                                                          // InitProducerID
	23: {4, "4@3- [48 s [24 4 4@2- 4]]"},                                              // OffsetForLeaderEpoch
	24: {3, "s@0-3 8@0-3 2@0-3 [48 s <4 4>]@0-3 [64 s 8 2 1 [48 s <4 4>]]@4-"},        // AddPartitionsToTxn
	25: {3, "s 8 2 s"},                                                                // AddOffsetsToTxn
	26: {3, "s 8 2 1"},                                                                // EndTxn
	27: {1, "[56 8 2 1 [48 s <4 4>] 4 1@2-]"},                                         // WriteTxnMarkers
	28: {3, "s s 8 2 4@3- s@3- s@3- [64 s@0-5 u@6- [40 4 8 4@2- s]]"},                 // TxnOffsetCommit
	29: {2, "1 s 1@1- s s 1 1"},                                                       // DescribeACLs
	30: {2, "[80 1 s 1@1- s s 1 1]"},                                                  // CreateACLs
	31: {2, "[56 1 s 1@1- s s 1 1]"},                                                  // DeleteACLs
	32: {4, "[56 1 s <16 s>] 1@1- 1@3-"},                                              // DescribeConfigs
	33: {2, "[56 1 s [32 s s]] 1"},                                                    // AlterConfigs
	34: {2, "[48 s [48 s <4 4>]]"},                                                    // AlterReplicaLogDirs
	35: {2, "[48 s <4 4>]"},                                                           // DescribeLogDirs
	36: {2, "b"},                                                                      // SASLAuthenticate
	37: {2, "[56 s 4 [32 <4 4>]] 4 1"},                                                // CreatePartitions
	42: {2, "<16 s>"},                                                                 // DeleteGroups
	43: {2, "1@1- [48 s <4 4>] 4"},                                                    // ElectLeaders
	44: {1, "[56 1 s [40 s 1 s]] 1"},                                                  // IncrementalAlterConfigs
	45: {0, "4 1@1- [48 s [40 4 <4 4>]]"},                                             // AlterPartitionAssignments
	46: {0, "4 [48 s <4 4>]"},                                                         // ListPartitionReassignments
	47: {noFlexible, "s [40 s [4 4]]"},                                                // OffsetDelete
	48: {1, "[40 s 1 s] 1"},                                                           // DescribeClientQuotas
	50: {0, "[24 s]"},                                                                 // DescribeUserSCRAMCredentials
	55: {0, "[48 s [16 4]]"},                                                          // DescribeQuorum
	60: {0, "1 1@1- 1@2-"},                                                            // DescribeCluster
	61: {0, "[48 s <4 4>]"},                                                           // DescribeProducers
	65: {0, "<16 s>"},                                                                 // DescribeTransactions
	66: {0, "<16 s> <8 8> 8@1- s@2-"},                                                 // ListTransactions
	67: {0, "4 8"},                                                                    // AllocateProducerIDs
	68: {0, "s s 4 s s 4 <16 s> s@1- s [48 u <4 4>]"},                                 // ConsumerGroupHeartbeat
	69: {0, "<16 s> 1"},                                                               // ConsumerGroupDescribe
	71: {0, "u"},                                                                      // GetTelemetrySubscriptions
	72: {0, "u 4 1 1 b"},                                                              // PushTelemetry
	74: {0, "<1 1>@1-"},                                                               // ListConfigResources
	75: {0, "[24 s] 4 ?{ s 4 }"},                                                      // DescribeTopicPartitions
}

// noFlexible marks APIs that never became flexible.
const noFlexible = 1<<15 - 1
