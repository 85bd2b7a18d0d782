#!/bin/sh
# Brings the appliance to the release that its channel serves: cluster first, then the control plane. Runs at boot and on every
# check for updates; running it twice changes nothing. Whatever fails, what runs now goes on running.
#
# Settings, from the environment (see alga-boot.service):
#   ALGA_CHANNEL   channel, or a version or digest that pins one      [stable]
#                  HOST/PATH/REPOSITORY:CHANNEL for releases of any vendor
#   ALGA_HOST      name under which people reach the product          [as given before]
#   ALGA_STORE     where releases are                                 [the configured prefix]
#   ALGA_STATE     what is remembered between runs                    [/var/lib/alga/state.json]
#   ALGA_BASELINE  control-plane image that came with the machine     [localhost/alga-appliance-control-plane:baked]
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

# resolve OPTIONS...: the options that every call shares.
resolve() {
	command=$1
	shift
	alga-resolve "$command" "$channel" ${ALGA_STORE:+--store "$ALGA_STORE"} --state "$state" "$@"
}

# The Flux objects of this appliance, one name a line.
children() {
	kubectl get kustomizations.kustomize.toolkit.fluxcd.io -n "$flux" -o name
}

# Waits until every Kustomization that reads our source has applied the revision $1 and is ready.
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

# Values that kept their name do nothing by themselves: their releases are asked to look. Only when all that stands before them
# is ready, or they would run new values on the old chart.
look_again() {
	while read -r namespace map release; do
		# Older versions of this script wrote no namespace.
		before=$(sed -n -e "s|^$namespace/$map ||p" -e "s|^$map ||p" "$work/before")
		after=$(version_of "$namespace" "$map")
		if [ -z "$before" ] || [ "$before" = "$after" ]; then
			continue
		fi
		kubectl annotate --overwrite -n "$namespace" "helmreleases.helm.toolkit.fluxcd.io/$release" \
			"reconcile.fluxcd.io/requestedAt=$after" </dev/null || say "$release was not asked to look at its values"
	done <"$work/named"
}

# The version of ConfigMap $2 in namespace $1. Changes whenever the object does; nothing when there is none.
version_of() {
	kubectl get configmap -n "$1" "$2" --ignore-not-found -o 'jsonpath={.metadata.resourceVersion}' </dev/null
}

# Values that no release reads any more. Only once the new release is ready: until then the old one still reads them.
forget() {
	kubectl get configmap -A -l app.kubernetes.io/managed-by=alga-resolve,app.kubernetes.io/component=values \
		-o 'jsonpath={range .items[*]}{.metadata.namespace}{" "}{.metadata.name}{"\n"}{end}' >"$work/now" || return 0
	while read -r namespace map; do
		grep -q "^$namespace $map " "$work/named" && continue
		kubectl delete configmap -n "$namespace" "$map" </dev/null || say "$namespace/$map is left behind"
	done <"$work/now"
}

# The ConfigMaps of values among the printed objects: namespace, name and the release that reads it, from the label.
named() {
	awk '/^---/ { name = ""; namespace = ""; values = 0 }
		/^kind: ConfigMap/ { values = 1 }
		/^  name: / && name == "" { name = $2; gsub(/"/, "", name) }
		/^  namespace: / && namespace == "" { namespace = $2; gsub(/"/, "", namespace) }
		/^    app.kubernetes.io\/instance: / && values { gsub(/"/, "", $2); print namespace, name, $2 }
		/^data:/ { values = 0 }' "$1"
}

# Namespace and name of the root objects, from the printed source.
root() {
	awk '/^---/ { name = ""; source = 0 }
		/^kind: OCIRepository/ { source = 1 }
		/^  name: / && name == "" { name = $2; gsub(/"/, "", name) }
		/^  namespace: / && source { gsub(/"/, "", $2); print $2, name; source = 0 }' "$1"
}

cluster() {
	resolve render --fallback-to-state ${ALGA_HOST:+--host "$ALGA_HOST"} >"$work/objects.yaml" || {
		say "no release to apply: the cluster stays as it is"
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
	# A run that ended before the releases were asked leaves behind what stood there then.
	if [ -s "$pending" ]; then
		cp "$pending" "$work/before"
	else
		cp "$work/before" "$pending.new" && mv "$pending.new" "$pending"
	fi
	# In the order in which they were printed: namespaces, values, source, Kustomization, selection.
	kubectl apply --server-side --force-conflicts --field-manager=alga-resolve -f "$work/objects.yaml" || {
		say "the release could not be applied: Flux goes on with what it has"
		return 1
	}
	settled "$revision" || {
		say "the release is not ready: its old values are kept, and Flux goes on trying"
		return 1
	}
	look_again
	rm -f "$pending"
	forget
}

# The image that runs; nothing on the first boot.
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
	# What is neither here nor can be pulled would leave nothing running.
	if ! grep -qxF "$next" "$work/images" && ! k3s ctr images pull "$next" >/dev/null; then
		say "$next cannot be pulled: ${now:-$baseline} stays"
		[ -z "$now" ] || return 0
		next=$baseline
	fi
	roll "$next" && return 0
	say "$next does not come up"
	[ -z "$now" ] || roll "$now"
	return 1
}

# The control plane first: it is where people see what goes on.
control
control_done=$?
cluster
cluster_done=$?
[ "$control_done" = 0 ] && [ "$cluster_done" = 0 ]
