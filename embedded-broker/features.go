package broker

import "github.com/twmb/franz-go/pkg/kmsg"

// features are what Kafka's clients and tools ask for by level rather than by API: each is finalized at its highest.
var features = []struct {
	name string
	max  int16
}{
	{"group.version", 1},       // groups of the consumer protocol (KIP-848)
	{"transaction.version", 2}, // EndTxn gives a new epoch, Produce and TxnOffsetCommit add to the transaction (KIP-890)
}

// announceFeatures tells the features.
func announceFeatures(resp *kmsg.ApiVersionsResponse) {
	resp.FinalizedFeaturesEpoch = 0
	for _, f := range features {
		supported, finalized := kmsg.NewApiVersionsResponseSupportedFeature(), kmsg.NewApiVersionsResponseFinalizedFeature()
		supported.Name, supported.MinVersion, supported.MaxVersion = f.name, 0, f.max
		finalized.Name, finalized.MinVersionLevel, finalized.MaxVersionLevel = f.name, f.max, f.max
		resp.SupportedFeatures = append(resp.SupportedFeatures, supported)
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, finalized)
	}
}
