//go:build ignore

// This program generates the package from schema. It is run by go generate with the version of ent that
// go.mod pins; no optional features are switched on.
package main

import (
	"log"

	"entgo.io/ent/entc"
	"entgo.io/ent/entc/gen"
)

func main() {
	err := entc.Generate("./schema", &gen.Config{Package: "github.com/streamkeeper-io/streamkeeper/diagnose/history/ent", Target: "."})
	if err != nil {
		log.Fatal("generating the records: ", err)
	}
}
