# Cleans up after a private PostgreSQL server. Started by pgvigil; its standard input is a pipe whose other end only pgvigil
# holds, so it ends when pgvigil lets go of it, in whatever way: also by kill -9. $1 is the folder of the cluster, and the file
# "process/id" in it names the process that now runs there.
trap '' HUP INT TERM
cat >/dev/null

# From here on no process can write its id there any more, and so none starts behind our back.
mv -- "$1/process" "$1/ended"

if read -r id <"$1/ended/id"; then
  # initdb listens to TERM at any time, the server shuts down at once for QUIT, and one that was frozen has to wake up for it.
  kill -s TERM "$id" && kill -s QUIT "$id" && kill -s CONT "$id"
  # Its group, since the servers that initdb runs outlive it for a moment, and clean up their shared memory.
  tries=0
  while kill -s 0 -- "-$id"; do
    sleep 0.02
    tries=$((tries + 1))
    [ "$tries" -lt 500 ] || kill -s KILL -- "-$id"
    [ "$tries" -lt 510 ] || break
  done
fi

# The last children of the server may still write for a moment.
tries=0
until rm -rf -- "$1" || [ "$tries" -gt 100 ]; do
  sleep 0.05
  tries=$((tries + 1))
done
