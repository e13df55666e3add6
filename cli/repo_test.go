package cli

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// module is the prefix of our own import paths.
const module = "github.com/streamkeeper-io/streamkeeper"

type listed struct {
	ImportPath   string
	Dir          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// packages lists every package of the module, by path below the module ("" is the root).
func packages(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	found := map[string]listed{}
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p listed
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		found[strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")] = p
	}
	return found
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// TestImports_OwnArrows holds the arrows between our folders. A folder may always import what lies below it.
func TestImports_OwnArrows(t *testing.T) {
	rules := []struct {
		folder string
		may    []string // besides itself; "" is the root package
		why    string
	}{
		{"engine", nil, "the engine is usable alone: it knows record batches and nothing of diagnosis"},
		{"embedded-broker", []string{"", "engine"}, "the broker is watched through its network doors, so it may know no watcher"},
		{"rules", []string{""}, "rules are data and pure judgement"},
		{"diagnose", []string{"", "rules"}, "the diagnosis reads through interfaces; collectors and web know it, not the other way"},
		{"web", []string{""}, "the web side shows what it is given through its own interfaces"},
		{"cli/drill", []string{""}, "a drill is a black-box client: it sees addresses only"},
		{"collectors", []string{""}, "collectors know their source and the vocabulary"},
		{"cmd", []string{"cli"}, "main only hands over the process"},
	}
	all := packages(t)
	for _, r := range rules {
		seen := false
		for path, p := range all {
			if !within(path, r.folder) {
				continue
			}
			seen = true
			for _, imp := range p.Imports {
				own, ok := strings.CutPrefix(imp, module)
				if !ok {
					continue
				}
				own = strings.TrimPrefix(own, "/")
				if within(own, r.folder) || allowed(own, r.may) {
					continue
				}
				t.Errorf("%s imports %q: %s", path, own, r.why)
			}
		}
		if !seen {
			t.Errorf("no package in %s: the rule watches nothing", r.folder)
		}
	}
}

func allowed(own string, may []string) bool {
	for _, m := range may {
		if own == m || (m != "" && within(own, m)) {
			return true
		}
	}
	return false
}

// TestImports_CollectorsAreStrangers: one collector's trouble must not be another's.
func TestImports_CollectorsAreStrangers(t *testing.T) {
	for path, p := range packages(t) {
		if !strings.HasPrefix(path, "collectors/") || within(path, "collectors/collectortest") {
			continue
		}
		mine := strings.Split(path, "/")[1]
		for _, imp := range p.Imports {
			if other, ok := strings.CutPrefix(imp, module+"/collectors/"); ok && strings.Split(other, "/")[0] != mine {
				t.Errorf("%s imports collectors/%s: they meet in the Sink only", path, other)
			}
		}
	}
}

// TestImports_Fences keeps big dependencies behind one folder each, so that they can be replaced.
func TestImports_Fences(t *testing.T) {
	fences := []struct{ imported, only, why string }{
		{"github.com/expr-lang/expr", "rules", "conditions are compiled in one place"},
		{"github.com/prometheus/prometheus/tsdb", "collectors/series", "the measurements' store can be replaced by a remote one"},
		{"github.com/prometheus/prometheus/promql", "collectors/series", "PromQL is a seam, not a habit"},
		{"entgo.io/ent", "diagnose/history", "records are kept in one place"},
		{"github.com/twmb/franz-go/pkg/kgo", "collectors cli/drill test", "the broker is no client"},
		{"github.com/twmb/franz-go/pkg/kmsg", "collectors cli/drill embedded-broker engine test", "the protocol is spoken at the edges"},
		{"github.com/cockroachdb/pebble", "engine cli", "the index is the engine's"},
		{"github.com/spf13/cobra", "cli", "only the cli reads flags"},
	}
	for path, p := range packages(t) {
		for _, f := range fences {
			for _, imp := range p.Imports {
				if within(imp, f.imported) || strings.HasPrefix(imp, f.imported+"/") {
					if !inAny(path, strings.Fields(f.only)) {
						t.Errorf("%s imports %s: %s", path, imp, f.why)
					}
				}
			}
		}
	}
}

func inAny(path string, folders []string) bool {
	for _, f := range folders {
		if within(path, f) {
			return true
		}
	}
	return false
}

// TestPure_NoClockNoWorld holds the pure packages free of time, randomness, files, network and logs: the same
// input must give the same bytes.
func TestPure_NoClockNoWorld(t *testing.T) {
	forbidden := regexp.MustCompile(`^(os|net|net/.*|log|log/.*|math/rand|math/rand/.*|crypto/rand|syscall)$`)
	clock := map[string]bool{"Now": true, "Since": true, "Until": true, "After": true, "Sleep": true, "NewTimer": true, "NewTicker": true, "Tick": true, "AfterFunc": true}
	all := packages(t)
	for _, path := range []string{"", "rules", "diagnose/infer", "diagnose/incident", "diagnose/advise", "diagnose/capacity", "engine/group", "engine/txn"} {
		p, ok := all[path]
		if !ok {
			t.Errorf("no package %q: the rule watches nothing", path)
			continue
		}
		for _, imp := range p.Imports {
			if forbidden.MatchString(imp) {
				t.Errorf("%s imports %s, and must be pure", path, imp)
			}
		}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if id, ok := sel.X.(*ast.Ident); ok && id.Name == "time" && id.Obj == nil && clock[sel.Sel.Name] {
					t.Errorf("%s/%s reads the clock (time.%s): time is a parameter here", path, name, sel.Sel.Name)
				}
				return true
			})
		}
	}
}

// TestDocs_EveryPackageSaysWhatItDoes.
func TestDocs_EveryPackageSaysWhatItDoes(t *testing.T) {
	for path, p := range packages(t) {
		if strings.Contains(path, "/ent") || len(p.GoFiles) == 0 {
			continue
		}
		documented := false
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			documented = documented || file.Doc != nil
		}
		if !documented {
			t.Errorf("package %s has no package comment", path)
		}
	}
}

// TestDocs_NamedPathsExist: a document that names files that are gone misleads its reader.
func TestDocs_NamedPathsExist(t *testing.T) {
	path := regexp.MustCompile("`([a-zA-Z0-9_.-]+(?:/[a-zA-Z0-9_.-]+)+/?|[a-zA-Z0-9_-]+\\.(?:go|md|yml|yaml|sh))`")
	for _, doc := range []string{"ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"} {
		text, err := os.ReadFile(filepath.Join("..", doc))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range path.FindAllStringSubmatch(string(text), -1) {
			if _, err := fs.Stat(os.DirFS(".."), strings.TrimSuffix(m[1], "/")); err != nil {
				t.Errorf("%s names %s, which does not exist", doc, m[1])
			}
		}
	}
}

// TestDocs_DecisionsAreNumberedOnce: "ADR 24" names one decision, in its file's name and in its heading.
func TestDocs_DecisionsAreNumberedOnce(t *testing.T) {
	files, err := filepath.Glob("../docs/adr/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no decisions: %v", err)
	}
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if name := filepath.Base(file); !strings.HasPrefix(name, fmt.Sprintf("%04d-", i+1)) {
			t.Errorf("%s is decision %d in order", name, i+1)
		}
		if heading, _, _ := strings.Cut(string(text), "\n"); !strings.HasPrefix(heading, fmt.Sprintf("# %d. ", i+1)) {
			t.Errorf("%s is headed %q", file, heading)
		}
	}
}
