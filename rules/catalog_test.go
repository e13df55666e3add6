package rules_test

import (
	"testing"

	"github.com/streamkeeper-io/streamkeeper/rules"
	"github.com/streamkeeper-io/streamkeeper/rules/catalog"
)

// TestCatalog loads the built-in rules, runs their examples and lints them: errors fail, warnings are
// logged.
func TestCatalog(t *testing.T) {
	c, err := rules.Load(catalog.Files)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range c.Test() {
		if !r.Passed {
			t.Errorf("%s:%d: %s: %s", r.File, r.Line, r.Name, r.Text)
		}
	}
	for _, r := range c.Lint(rules.LintOptions{}) {
		if r.Severity == rules.RemarkError {
			t.Error(r)
		} else {
			t.Log(r)
		}
	}
}
