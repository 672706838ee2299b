// Package slack gives back the room which maps and slices keep after what they held has gone.
//
// Neither shrinks by itself: a map which held a hundred thousand targets for a minute keeps megabytes for the ten which are left,
// and walking it takes as long as before. It is for those which live as long as the process, or as a target; what is made anew now and
// then needs none of it.
//
// Concurrency and ownership: the caller's. What was handed in is not used again.
package slack

import "maps"

// few is how many elements are not worth a copy: some KiB.
const few = 64

// Map returns m, or what is in it in a map of the right size, if m holds less than a quarter of what it once held. Most is how many
// that were, which Map keeps; so call it after elements were added as well as after some were removed. A copy is paid for by the
// three quarters of the elements which went since the last one.
func Map[K comparable, V any](m map[K]V, most *int) map[K]V {
	*most = max(*most, len(m))
	if *most <= few || len(m) >= *most/4 {
		return m
	}
	*most = len(m)
	small := make(map[K]V, len(m))
	maps.Copy(small, m)
	return small
}

// Slice returns s, or a copy without spare room, if less than a quarter of its room is used.
func Slice[S ~[]E, E any](s S) S {
	if cap(s) <= few || len(s) >= cap(s)/4 {
		return s
	}
	return append(make(S, 0, len(s)), s...)
}
