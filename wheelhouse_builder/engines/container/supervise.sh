#!/bin/sh
# supervise.sh CLIENT LABEL COMMAND…: run a command whose containers have this label. Who is asked to end, or whose
# parent died, ends the command and removes them: a container outlives the client that started it.
client=$1 label=$2
shift 2

clean() {
  trap '' TERM INT
  kill -KILL "$child" 2>/dev/null
  for container in $("$client" ps --all --quiet --filter "label=$label"); do
    "$client" rm --force --volumes "$container" >/dev/null
  done
  exit 143
}

trap clean TERM INT
"$@" &
child=$!
wait "$child"
