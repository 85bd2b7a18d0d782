#!/bin/sh
# A promotion from a workstation, by the rules of the workflow: what was looked at is what moves, or nothing does.
#
# It takes none of Argo's locks, and needs none: the program compares the channel with what was approved right before it moves it.
# Who wants Argo's history and approval instead: argo submit --from workflowtemplate/alga-appliance-promote
set -eu
from=${1:?usage: $0 FROM TO}
to=${2:?usage: $0 FROM TO}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

alga-release promote --from "$from" --to "$to" --dry-run --output-dir "$out"
if [ "$(cat "$out/has-changes")" = false ]; then exit 0; fi
printf 'Shall %s serve this? Write yes: ' "$to"
read -r decision
if [ "$decision" != yes ]; then echo "nothing was moved"; exit 0; fi
alga-release promote --from "$(cat "$out/digest")" --to "$to" \
  --if-plan "$(cat "$out/plan-digest")" --if-current "$(cat "$out/channel-digest")"
