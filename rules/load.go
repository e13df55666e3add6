package rules

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// folders of a catalog root, in the order in which they are read: what later ones refer to comes first.
var folders = []string{"signals", "symptoms", "evidence", "cost", "causes"}

// Load reads catalog roots, each holding signals/, symptoms/, evidence/, causes/ and cost/. A later root
// adds to and overrides earlier ones: a signal by entity and name, a node or cause by id. All mistakes
// are returned joined, each an *Error with file, line, column and a caret.
func Load(roots ...fs.FS) (*Catalog, error) {
	l := &loader{
		catalog: &Catalog{
			signals: map[string]*Signal{}, nodes: map[string]*Node{}, causes: map[string]*Cause{}, atoms: map[string]*expression{},
		},
		files: map[string]map[string]*source{}, broken: map[string]bool{},
	}
	if len(roots) == 0 {
		return nil, errors.New("loading rules: no folder given")
	}
	for _, root := range roots {
		l.readRoot(root)
	}
	l.loadNodes()
	l.loadCauses()
	if len(l.errs) > 0 {
		slices.SortStableFunc(l.errs, comparePlaces)
		return nil, errors.Join(l.errs...)
	}
	l.catalog.finish()
	return l.catalog, nil
}

// comparePlaces orders mistakes by file, line and column.
func comparePlaces(a, b error) int {
	x, _ := a.(*Error)
	y, _ := b.(*Error)
	if x == nil || y == nil {
		return 0
	}
	return cmp.Or(strings.Compare(x.File, y.File), cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
}

type loader struct {
	catalog *Catalog
	files   map[string]map[string]*source // folder → id → the file that won
	broken  map[string]bool               // ids of files that are no YAML: named once, not at every use
	errs    []error
}

func (l *loader) fail(err error) {
	if err != nil {
		l.errs = append(l.errs, err)
	}
}

// readRoot parses one root. Signals are taken at once (they merge); the other files only override.
func (l *loader) readRoot(root fs.FS) {
	l.fail(fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("reading rules: %w", err)
		}
		if d.IsDir() || !isYAML(file) {
			return nil
		}
		folder, name := path.Split(file)
		folder = strings.TrimSuffix(folder, "/")
		if !slices.Contains(folders, folder) {
			l.fail(&Error{File: file, Line: 1, Column: 1, Text: "rule files live in " + strings.Join(folders, "/, ") + "/"})
			return nil
		}
		data, err := fs.ReadFile(root, file)
		if err != nil {
			return fmt.Errorf("reading rules: %w", err)
		}
		src, err := parseSource(file, data)
		if err != nil {
			l.fail(err)
			l.broken[fileID(file)] = true
			return nil
		}
		if folder == "signals" {
			l.loadSignals(src)
			return nil
		}
		if l.files[folder] == nil {
			l.files[folder] = map[string]*source{}
		}
		l.files[folder][strings.TrimSuffix(strings.TrimSuffix(name, ".yaml"), ".yml")] = src
		return nil
	}))
}

func isYAML(file string) bool {
	return strings.HasSuffix(file, ".yaml") || strings.HasSuffix(file, ".yml")
}

// fileID is the id that a file's name promises.
func fileID(file string) string {
	base := path.Base(file)
	return strings.TrimSuffix(strings.TrimSuffix(base, ".yaml"), ".yml")
}

// loadNodes compiles symptoms, evidence and cost findings.
func (l *loader) loadNodes() {
	for _, folder := range []string{"symptoms", "evidence", "cost"} {
		for _, id := range sortedKeys(l.files[folder]) {
			src := l.files[folder][id]
			if other, ok := l.catalog.nodes[id]; ok {
				l.fail(src.errorAt(src.at("id"), "id %s is taken by %s", id, other.File))
				continue
			}
			if n := l.loadNode(folder, id, src); n != nil {
				l.catalog.nodes[id] = n
			}
		}
	}
	for _, id := range sortedKeys(l.catalog.nodes) {
		l.checkMasks(l.catalog.nodes[id])
	}
}

func (l *loader) checkMasks(n *Node) {
	for i, mask := range n.MaskedBy {
		if _, ok := l.catalog.nodes[mask]; ok || l.fileExists(mask) {
			continue
		}
		src := l.sourceOf(n.ID)
		l.fail(src.errorAt(src.at("masked_by", fmt.Sprint(i)), "%s", l.unknownNode(mask)))
	}
}

func (l *loader) sourceOf(id string) *source {
	for _, folder := range []string{"symptoms", "evidence", "cost"} {
		if src, ok := l.files[folder][id]; ok {
			return src
		}
	}
	return nil
}

// unknownNode words a reference to a node that does not exist. Nodes that failed to load are known by
// their file, so that one mistake is told once.
func (l *loader) unknownNode(id string) string {
	var names []string
	for _, folder := range []string{"symptoms", "evidence"} {
		names = append(names, sortedKeys(l.files[folder])...)
	}
	msg := fmt.Sprintf("no symptom or evidence %s", id)
	if near := nearest(id, names); near != "" {
		msg += fmt.Sprintf(" (do you mean %s?)", near)
	}
	return msg
}

// finish orders what is evaluated.
func (c *Catalog) finish() {
	for _, id := range sortedKeys(c.nodes) {
		n := c.nodes[id]
		c.order = append(c.order, n)
		if n.Symptom || n.Trigger || n.Cost {
			c.phaseOne = append(c.phaseOne, n)
		}
	}
}
