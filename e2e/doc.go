// Package e2e tests the agent from outside, as a user meets it: it builds the program, runs it, and looks at what it
// prints, what its pages say and what arrives at receivers.
//
// There is nothing here but tests. Some run beside programs that nobody here wrote (real_test.go), and are skipped where
// those are not installed; install.sh installs them. The others bring a farm of targets (farm_test.go) and package
// receiver, both served over TCP on loopback.
//
// The tests take their short form unless -long is given, and print the figures which they measure with -v; this shows those
// of the long form:
//
//	make figures
//
// Read process_test.go first, then farm_test.go.
package e2e
