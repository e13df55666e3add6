//go:build notelemetry

package broker

const measuring = false
