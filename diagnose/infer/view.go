package infer

import "iter"

// view has a number for each node that a space can tell of: those at home, and the shared ones. Of a fleet with hundreds of
// blocks that is little of all nodes. The shared space tells of all. Nodes are in canonical order, so the shared ones come
// first and those of a block are neighbours.
type view struct {
	q      []float64
	shared int32 // so many nodes have their own place
	skip   int32 // and so many lie between them and the first one at home
}

// view makes one for a space.
func (p *program) view(s *space) view {
	shared := int32(len(p.shared.home))
	switch {
	case s.name == "":
		return view{q: make([]float64, len(p.nodes)), shared: int32(len(p.nodes))}
	case len(s.home) == 0:
		return view{q: make([]float64, shared), shared: shared, skip: int32(len(p.nodes))}
	}
	return view{q: make([]float64, shared+int32(len(s.home))), shared: shared, skip: s.home[0] - shared}
}

func (v view) place(node int32) int32 {
	if node < v.shared {
		return node
	}
	return node - v.skip
}

// holds says whether the space can tell of a node.
func (v view) holds(node int32) bool {
	at := v.place(node)
	return node < v.shared || at >= v.shared && int(at) < len(v.q)
}

func (v view) at(node int32) float64 { return v.q[v.place(node)] }

func (v view) set(node int32, q float64) { v.q[v.place(node)] = q }

// all goes through the nodes and their numbers, in canonical order.
func (v view) all() iter.Seq2[int32, float64] {
	return func(yield func(int32, float64) bool) {
		for at, q := range v.q {
			node := int32(at)
			if node >= v.shared {
				node += v.skip
			}
			if !yield(node, q) {
				return
			}
		}
	}
}
