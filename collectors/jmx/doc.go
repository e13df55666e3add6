// Package jmx is the source that derives, from what JMX exporters on the brokers of a cluster tell, what becomes of tiered
// storage (KIP-405) and which clients are throttled.
//
// It asks nobody but the place where scraped series lie. What it writes has one store for a cluster, whatever its plugin
// ([streamkeeper.TieredStorage]), and one client for each user or client id; counters begin at 0 when they are first
// seen, are summed over brokers and survive their restarts. A number that a part of the brokers did not tell lately is
// left out rather than guessed.
//
// exporter.yaml is a configuration for the exporter that tells all of it. Start with jmx.go, then tier.go.
package jmx
