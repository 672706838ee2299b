#!/bin/bash
# Installs the programs which tests run beside the agent, where it may: as root, on Debian and its kin.
# Elsewhere it says what is missing; the tests which need it are skipped then. It never fails.
set -u

# Program, and the package which has it.
programs=(
	prometheus:prometheus
	prometheus-node-exporter:prometheus-node-exporter
	victoria-metrics:victoria-metrics
	nginx:nginx-light
)

missing=()
for p in "${programs[@]}"; do
	command -v "${p%%:*}" >/dev/null || missing+=("${p##*:}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
	echo "e2e: there is no ${missing[*]} here; the tests which need it are skipped"
	exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "e2e: there is no ${missing[*]} here; the tests which need it are skipped. To run them: apt-get install ${missing[*]}"
	exit 0
fi

# The packages would start their services, on ports which somebody else may want. The tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
fi

log=$(mktemp)
install() {
	DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -y -o DPkg::Lock::Timeout=120 \
		install --no-install-recommends "${missing[@]}"
}
echo "e2e: installing ${missing[*]}"
if ! install >"$log" 2>&1 && ! { timeout 120 apt-get update && install; } >>"$log" 2>&1; then
	tail -n 5 "$log"
	echo "e2e: ${missing[*]} cannot be installed here; the tests which need it are skipped"
fi
rm -f "$log"
exit 0
