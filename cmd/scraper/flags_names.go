package main

import (
	"slices"
	"strings"
)

// closest returns the candidate which differs from name by the fewest edits, at most two, ignoring case; "" if there is
// none. Of several the first by the alphabet.
func closest(name string, candidates []string) string {
	best, edits := "", 3
	slices.Sort(candidates)
	for _, c := range candidates {
		if n := editDistance(strings.ToLower(name), strings.ToLower(c)); n < edits {
			best, edits = c, n
		}
	}
	return best
}

// editDistance is the number of bytes to be inserted, deleted or replaced to make one string of the other.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
