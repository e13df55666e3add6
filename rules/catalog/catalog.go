// Package catalog holds the built-in rules as data: signals, symptoms, evidence, causes and cost
// findings, one YAML file each. It refuses to hold logic: everything that is judged is in the files,
// and package rules loads, checks and evaluates them. Start with README.md in this folder.
package catalog

import "embed"

// Files is the built-in catalog, in the layout that rules.Load expects.
//
//go:embed signals/*.yaml symptoms/*.yaml evidence/*.yaml causes/*.yaml cost/*.yaml
var Files embed.FS
