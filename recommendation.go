package streamkeeper

// RecommendationKind is a kind of capacity change.
type RecommendationKind string

// The kinds of recommendations.
const (
	ScaleConsumers    RecommendationKind = "scale_consumers"
	AddPartitions     RecommendationKind = "add_partitions"
	AddBrokers        RecommendationKind = "add_brokers"
	UploadConcurrency RecommendationKind = "upload_concurrency"
	Hold              RecommendationKind = "hold"
	Cost              RecommendationKind = "cost"
)

// Recommendation is a capacity change, or the explicit advice not to scale (Hold).
type Recommendation struct {
	Kind      RecommendationKind `json:"kind"`
	Entity    Entity             `json:"entity"`
	From      *float64           `json:"from"`
	To        *float64           `json:"to"`
	Why       string             `json:"why"`
	BoundedBy string             `json:"bounded_by,omitempty"`
	Expected  map[string]float64 `json:"expected,omitempty"`
	Manifests map[string]string  `json:"manifests,omitempty"` // by tool: keda, hpa, strimzi, reassignment
}
