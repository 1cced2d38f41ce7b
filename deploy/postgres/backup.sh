#!/bin/sh
# A base backup of a PostgreSQL server, checked, as FOLDER/base/TIME-WHEN-IT-WAS-DONE. With what
# archive.conf keeps in FOLDER/wal it restores every moment since. The newest KEEP (14) stay, and what
# was written since the oldest of them.
#
#   sh backup.sh FOLDER [options of pg_basebackup]
set -eu
umask 077
folder=$1
shift
draft=$folder/base/draft.$$
trap 'rm -rf "$draft"' EXIT

mkdir -p "$folder/base"
pg_basebackup --pgdata "$draft" --checkpoint fast --wal-method stream "$@"
pg_verifybackup --quiet "$draft"
done=$folder/base/$(date -u +%Y%m%dT%H%M%SZ)
mv "$draft" "$done"

ls -d "$folder"/base/*Z | head -n "-${KEEP:-14}" | xargs -r rm -rf
oldest=$(ls -d "$folder"/base/*Z | head -n 1)
first=$(sed -n 's/^START WAL LOCATION: .*(file \([0-9A-F]*\))$/\1/p' "$oldest/backup_label")
pg_archivecleanup "$folder/wal" "$first"
echo "$done"
