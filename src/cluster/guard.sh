# Cleans up after a private PostgreSQL server. Started by pgvigil; its standard input is a pipe whose other end only pgvigil
# holds, so it ends when pgvigil lets go of it, in whatever way: also by kill -9. $1 is the folder of the cluster, and its
# file "pid" names the process that now runs there.
trap '' HUP INT TERM
cat >/dev/null

# From here on no process can write its id into "pid" any more, and so none starts behind our back.
mv -- "$1" "$1.gone" || exit

if read -r pid <"$1.gone/pid"; then
  # An immediate shutdown, also for a server that was stopped with SIGSTOP.
  kill -QUIT "$pid" && kill -CONT "$pid"
  tries=0
  while kill -0 "$pid"; do
    sleep 0.02
    tries=$((tries + 1))
    [ "$tries" -lt 500 ] || kill -KILL "$pid"
    [ "$tries" -lt 510 ] || break
  done
fi

# The last children of the server may still write for a moment.
tries=0
until rm -rf -- "$1.gone" || [ "$tries" -gt 100 ]; do
  sleep 0.05
  tries=$((tries + 1))
done
