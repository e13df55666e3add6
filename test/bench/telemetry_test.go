package main

import "testing"

// TestUpperRank: the ranks of the usual tables for the sign test.
func TestUpperRank(t *testing.T) {
	for n, want := range map[int]int{1: 1, 5: 5, 10: 9, 20: 15, 100: 59} {
		if got := upperRank(n); got != want {
			t.Errorf("of %d: %d, want %d", n, got, want)
		}
	}
}
