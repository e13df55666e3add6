package rules

import (
	"os"
	"testing"
)

func TestSmoke(t *testing.T) {
	c, err := Load(os.DirFS("catalog"))
	if err != nil {
		t.Fatal(err)
	}
	t.Log(len(c.Nodes()), len(c.Signals()), len(c.Causes()))
}
