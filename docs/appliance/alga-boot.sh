#!/bin/sh
# Updates the appliance to the release of its channel: the control plane first, then the cluster. The script runs at boot
# and at every check for updates. A second run changes nothing. After any failure, the running programs continue.
#
# Settings, from the environment (see alga-boot.service):
#   ALGA_CHANNEL   channel, or a version or digest to pin             [stable]
#                  HOST/PATH/REPOSITORY:CHANNEL for releases of any vendor
#   ALGA_HOST      host name of the product                           [the last one given]
#   ALGA_STORE     store that releases are read from                  [the configured prefix]
#   ALGA_TRUST_FILE  trust document that verifies releases             [/etc/alga/trust.json if the file exists]
#   ALGA_STATE     state file between runs                            [/var/lib/alga/state.json]
#   ALGA_BASELINE  control-plane image installed with the machine     [localhost/alga-appliance-control-plane:baked]
#   ALGA_WAIT      seconds to wait for the cluster, each time         [1800]
set -u

channel=${ALGA_CHANNEL:-stable}
state=${ALGA_STATE:-/var/lib/alga/state.json}
pending=$state.values
baseline=${ALGA_BASELINE:-localhost/alga-appliance-control-plane:baked}
wait=${ALGA_WAIT:-1800}
control_namespace=${ALGA_CONTROL_NAMESPACE:-alga-system}
control_plane=${ALGA_CONTROL_PLANE:-appliance-control-plane}

say() { printf 'alga-boot: %s\n' "$*" >&2; }

work=$(mktemp -d) || exit 75
trap 'rm -rf "$work"' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# resolve COMMAND OPTIONS...: runs the resolver with the options that all calls share.
resolve() {
	command=$1
	shift
	alga-resolve "$command" "$channel" ${ALGA_STORE:+--store "$ALGA_STORE"} --state "$state" "$@"
}

# Prints the names of the appliance's Kustomizations, one on each line.
children() {
	kubectl get kustomizations.kustomize.toolkit.fluxcd.io -n "$flux" -o name
}

# Waits until every Kustomization that reads the appliance's source has applied the revision $1 and is ready.
settled() {
	revision=$1
	root=kustomization.kustomize.toolkit.fluxcd.io/$source
	kubectl wait -n "$flux" "$root" --for="jsonpath={.status.lastAppliedRevision}=$revision" --timeout="${wait}s" || return 1
	children >"$work/children" || return 1
	while read -r child; do
		of=$(kubectl get -n "$flux" "$child" -o 'jsonpath={.spec.sourceRef.kind}/{.spec.sourceRef.name}') || return 1
		[ "$of" = "OCIRepository/$source" ] || continue
		kubectl wait -n "$flux" "$child" --for="jsonpath={.status.lastAppliedRevision}=$revision" --timeout="${wait}s" \
			</dev/null || return 1
		kubectl wait -n "$flux" "$child" --for=condition=Ready --timeout="${wait}s" </dev/null || return 1
	done <"$work/children"
}

# Asks the releases whose values changed under the same name to reconcile, because Flux does not watch these values. This comes
# after everything else is ready. Otherwise the releases would run new values on the old chart.
reconcile_values() {
	while read -r namespace map release; do
		# Older versions of this script wrote no namespace.
		before=$(sed -n -e "s|^$namespace/$map ||p" -e "s|^$map ||p" "$work/before")
		after=$(version_of "$namespace" "$map")
		if [ -z "$before" ] || [ "$before" = "$after" ]; then
			continue
		fi
		kubectl annotate --overwrite -n "$namespace" "helmreleases.helm.toolkit.fluxcd.io/$release" \
			"reconcile.fluxcd.io/requestedAt=$after" </dev/null || say "failed to ask $release to reconcile its values"
	done <"$work/named"
}

# Prints the resource version of the ConfigMap $2 in namespace $1, or nothing if there is no such ConfigMap.
version_of() {
	kubectl get configmap -n "$1" "$2" --ignore-not-found -o 'jsonpath={.metadata.resourceVersion}' </dev/null
}

# Deletes values that no release reads any more. This comes after the new release is ready, because the old one reads them until then.
forget() {
	kubectl get configmap -A -l app.kubernetes.io/managed-by=alga-resolve,app.kubernetes.io/component=values \
		-o 'jsonpath={range .items[*]}{.metadata.namespace}{" "}{.metadata.name}{"\n"}{end}' >"$work/now" || return 0
	while read -r namespace map; do
		grep -q "^$namespace $map " "$work/named" && continue
		kubectl delete configmap -n "$namespace" "$map" </dev/null || say "failed to delete the unused values $namespace/$map"
	done <"$work/now"
}

# Prints the ConfigMaps of values in the rendered objects: namespace, name, and the release that reads it, from the label.
named() {
	awk '/^---/ { name = ""; namespace = ""; values = 0 }
		/^kind: ConfigMap/ { values = 1 }
		/^  name: / && name == "" { name = $2; gsub(/"/, "", name) }
		/^  namespace: / && namespace == "" { namespace = $2; gsub(/"/, "", namespace) }
		/^    app.kubernetes.io\/instance: / && values { gsub(/"/, "", $2); print namespace, name, $2 }
		/^data:/ { values = 0 }' "$1"
}

# Prints namespace and name of the root objects, from the rendered source.
root() {
	awk '/^---/ { name = ""; source = 0 }
		/^kind: OCIRepository/ { source = 1 }
		/^  name: / && name == "" { name = $2; gsub(/"/, "", name) }
		/^  namespace: / && source { gsub(/"/, "", $2); print $2, name; source = 0 }' "$1"
}

cluster() {
	resolve render --fallback-to-state ${ALGA_HOST:+--host "$ALGA_HOST"} >"$work/objects.yaml" || {
		say "no release to apply: the cluster does not change"
		return 1
	}
	named "$work/objects.yaml" >"$work/named"
	read -r flux source <<-END
		$(root "$work/objects.yaml")
	END
	revision=$(sed -n 's/^    digest: "\(sha256:[0-9a-f]*\)"$/\1/p' "$work/objects.yaml" | tail -n 1)
	while read -r namespace map _; do
		printf '%s/%s %s\n' "$namespace" "$map" "$(version_of "$namespace" "$map")"
	done <"$work/named" >"$work/before"
	# A run that ended before it asked the releases has left the versions from before its changes.
	if [ -s "$pending" ]; then
		cp "$pending" "$work/before"
	else
		cp "$work/before" "$pending.new" && mv "$pending.new" "$pending"
	fi
	# The order of the rendered objects: namespaces, values, source, Kustomization, selection.
	kubectl apply --server-side --force-conflicts --field-manager=alga-resolve -f "$work/objects.yaml" || {
		say "the release could not be applied: Flux continues with the old one"
		return 1
	}
	settled "$revision" || {
		say "the release is not ready: the old values are kept, and Flux continues to try"
		return 1
	}
	reconcile_values
	rm -f "$pending"
	forget
}

# Prints the running image, or nothing on the first boot.
running() {
	kubectl get deployment -n "$control_namespace" "$control_plane" -o 'jsonpath={.spec.template.spec.containers[0].image}' 2>/dev/null
}

roll() {
	container=$(kubectl get deployment -n "$control_namespace" "$control_plane" \
		-o 'jsonpath={.spec.template.spec.containers[0].name}') || return 1
	kubectl set image -n "$control_namespace" "deployment/$control_plane" "$container=$1" &&
		kubectl rollout status -n "$control_namespace" "deployment/$control_plane" --timeout=300s
}

control() {
	now=$(running)
	k3s ctr images ls -q >"$work/images" 2>/dev/null || : >"$work/images"
	set --
	while read -r image; do
		case $image in
		*control-plane*) set -- "$@" --present "$image" ;;
		esac
	done <"$work/images"
	next=$(resolve control-plane --running "$now" --baseline "$baseline" "$@") || next=
	if [ -z "$next" ] || [ "$next" = "$now" ]; then
		return 0
	fi
	# An image that is missing and cannot be pulled would leave no control plane running.
	if ! grep -qxF "$next" "$work/images" && ! k3s ctr images pull "$next" >/dev/null; then
		say "$next cannot be pulled: ${now:-$baseline} stays"
		[ -z "$now" ] || return 0
		next=$baseline
	fi
	roll "$next" && return 0
	say "$next did not start"
	[ -z "$now" ] || roll "$now"
	return 1
}

# The control plane comes first, because it shows the progress of the update.
control
control_done=$?
cluster
cluster_done=$?
[ "$control_done" = 0 ] && [ "$cluster_done" = 0 ]
