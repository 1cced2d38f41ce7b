#!/bin/sh
# Makes the data folder of a PostgreSQL server as it was at a moment, from what backup.sh and
# archive.conf keep in FOLDER. The server, once started on it, reads up to there and goes on.
#
#   sh restore.sh FOLDER DATA "2026-12-24 17:30:00+01"
set -eu
umask 077
folder=$1 data=$2
moment=$(date -u -d "$3" '+%Y-%m-%d %H:%M:%S.%6N+00')
name=$(date -u -d "$3" +%Y%m%dT%H%M%SZ)

if [ -e "$data" ] && [ -n "$(ls -A "$data")" ]; then
    echo "$data is not empty: move away what is there" >&2
    exit 1
fi
base=$(ls -d "$folder"/base/*Z | awk -v last="$folder/base/$name" '$0 < last' | tail -n 1)
if [ -z "$base" ]; then
    echo "there is no base backup from before $3" >&2
    exit 1
fi
mkdir -p "$data"
cp -a "$base/." "$data"
chmod 700 "$data"
cat >> "$data/postgresql.auto.conf" <<END
restore_command = 'cp $folder/wal/%f %p'
recovery_target_time = '$moment'
recovery_target_action = 'promote'
END
touch "$data/recovery.signal"
echo "$data: $base and what was written until $moment"
