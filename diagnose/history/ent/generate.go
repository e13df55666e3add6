// Package ent is the generated access to the records; see schema for what they hold.
package ent

//go:generate go run entc.go
