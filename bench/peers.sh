#!/bin/bash
# Builds current versions of the peers from their sources into bench/peers/, where there is a network which has them; the
# benchmark takes them with -peer. Their modules are none of this project's: each is built in a throw-away one.
#
# End-to-end tests push into Prometheus and VictoriaMetrics if they are there.
#
#   VMAGENT_VERSION, VICTORIA_VERSION, PROMETHEUS_VERSION: tags, Prometheus' as of its Go module (v0.314.0 is 3.14.0)
set -eu

vmagent=${VMAGENT_VERSION:-v1.150.0}
victoria=${VICTORIA_VERSION:-v1.150.0}
prometheus=${PROMETHEUS_VERSION:-v0.314.0}
out=$(cd "$(dirname "$0")" && pwd)/peers
mkdir -p "$out"

# build MODULE PACKAGE VERSION NAME LDFLAGS
build() {
	local dir
	dir=$(mktemp -d)
	echo "building $4 of $1 $3"
	(
		cd "$dir"
		go mod init peer 2>/dev/null
		go get "$1/$2@$3" 2>get.log || { tail -n 5 get.log; exit 1; }
		# One package at a time, and behind everybody else: these are large programs.
		nice -n 19 go build -p 1 -trimpath -ldflags "-s -w $5" -o "$out/$4" "$1/$2"
	) || echo "$4 cannot be built here"
	rm -rf "$dir"
}

# vmagent as its makers build it has zstd by cgo, which costs it less than without a C compiler.
build github.com/VictoriaMetrics/VictoriaMetrics app/vmagent "$vmagent" vmagent-latest \
	"-X github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version=vmagent-$vmagent"
build github.com/VictoriaMetrics/VictoriaMetrics app/victoria-metrics "$victoria" victoria-metrics-latest \
	"-X github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version=victoria-metrics-$victoria"
CGO_ENABLED=0 build github.com/prometheus/prometheus cmd/prometheus "$prometheus" prometheus-3 \
	"-X github.com/prometheus/common/version.Version=3.${prometheus#v0.3}"
ls -l "$out"
