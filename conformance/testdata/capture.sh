#!/bin/bash
# Captures again what README.md lists (programs which offer no OpenMetrics are asked for what they do), into this directory or the one that is the argument. Programs which are not here are
# left out; their bodies stay what they are. All listen on loopback.
#
#   PROMETHEUS3  a current Prometheus, as `make bench-peers-latest` builds it
#   ETCD         a current etcd: go build go.etcd.io/etcd/server/v3
#   PYTHONPATH   where prometheus_client is, if python3 has it not
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=$(mkdir -p "${1:-$here}" && cd "${1:-$here}" && pwd)
prometheus3=${PROMETHEUS3:-$here/../../bench/peers/prometheus-3}
etcd=${ETCD:-etcd}
dir=$(mktemp -d)
pids=()
trap 'for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done; wait; rm -rf "$dir"' EXIT

text='text/plain;version=0.0.4'
protobuf='application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited'

# get URL FILE TYPE: what it answers has to be of that type
get() {
	local type
	type=$(curl -sSf -H "Accept: $3" -o "$dir/body" -w '%{content_type}' "$1")
	case ${type// /} in
	"${3%%;*}"*) mv "$dir/body" "$out/$2" ;;
	*) echo "$1 answers with $type, want $3" && return 1 ;;
	esac
}

# wait_for URL: until it answers, ten seconds at most
wait_for() { for _ in $(seq 100); do curl -sf -o "$dir/answer" "$1" && return; sleep 0.1; done; return 1; }

has() { command -v "$1" >/dev/null || { echo "there is no $1: left out"; return 1; }; }

if has prometheus-node-exporter; then
	# Collectors which say nothing about the machine's owner.
	prometheus-node-exporter --web.listen-address=127.0.0.1:19100 --collector.disable-defaults --collector.cpu --collector.meminfo \
		--collector.loadavg --collector.vmstat --collector.netstat --collector.diskstats --collector.stat >"$dir/node.log" 2>&1 &
	pids+=($!)
	wait_for http://127.0.0.1:19100/metrics
	get http://127.0.0.1:19100/metrics node_exporter.pb "$protobuf"
fi

cat >"$dir/prometheus.yml" <<-CONFIG
	global: {scrape_interval: 1s}
	scrape_configs:
	  - {job_name: self, static_configs: [{targets: ["127.0.0.1:19090"]}]}
	  - {job_name: gone, static_configs: [{targets: ["127.0.0.1:1"]}]}
CONFIG
# The same path for both: a label says it.
scrape_itself() { # PROGRAM NAME
	"$1" --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/$2" --web.listen-address=127.0.0.1:19090 >"$dir/$2.log" 2>&1 &
	local pid=$!
	pids+=($pid)
	wait_for http://127.0.0.1:19090/-/ready
	sleep 3
	curl -s 'http://127.0.0.1:19090/api/v1/query?query=up' >"$dir/answer" # so that requests were counted
	get http://127.0.0.1:19090/metrics "$2.txt" "$text"
	get http://127.0.0.1:19090/metrics "$2.pb" "$protobuf"
	kill "$pid"
	wait "$pid" || true
}
has prometheus && scrape_itself prometheus prometheus
has "$prometheus3" && scrape_itself "$prometheus3" prometheus3

if has "$etcd"; then
	"$etcd" --data-dir "$dir/etcd" --name a --listen-client-urls http://127.0.0.1:12379 --advertise-client-urls http://127.0.0.1:12379 \
		--listen-peer-urls http://127.0.0.1:12380 --initial-advertise-peer-urls http://127.0.0.1:12380 --initial-cluster a=http://127.0.0.1:12380 \
		--metrics=extensive >"$dir/etcd.log" 2>&1 &
	pids+=($!)
	wait_for http://127.0.0.1:12379/health
	get http://127.0.0.1:12379/metrics etcd.pb "$protobuf"
fi

(cd "$here/.." && go run ./testdata/client "$out")

if has python3 && python3 -c 'import prometheus_client' 2>/dev/null; then
	python3 "$here/client.py" "$out/python_client.om.txt"
else
	echo "there is no prometheus_client for Python: left out"
fi
ls -l "$out"
