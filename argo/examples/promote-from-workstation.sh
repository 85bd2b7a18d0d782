#!/bin/sh
# Promotes from a workstation by the rules of the workflow: only the approved plan is carried out.
#
# The script takes none of Argo's locks and needs none: the program compares the channel with the approved state
# right before the move. To use Argo for the history and the approval instead:
#   argo submit --from workflowtemplate/alga-appliance-promote
set -eu
from=${1:?usage: $0 FROM TO}
to=${2:?usage: $0 FROM TO}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

alga-release promote --from "$from" --to "$to" --dry-run --output-dir "$out"
if [ "$(cat "$out/has-changes")" = false ]; then exit 0; fi
printf 'Move %s to this release? Enter yes: ' "$to"
read -r decision
if [ "$decision" != yes ]; then echo "the channel did not move"; exit 0; fi
alga-release promote --from "$(cat "$out/digest")" --to "$to" \
  --if-plan "$(cat "$out/plan-digest")" --if-current "$(cat "$out/channel-digest")"
