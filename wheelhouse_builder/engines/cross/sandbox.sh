#!/bin/sh
# sandbox.sh WRITABLE... -- COMMAND...
# In a mount namespace of its own: the file system is read-only but for these folders. Device, process and kernel file
# systems are left alone: what can be written there is decided by who one is.
set -eu
while read -r _ point type _; do
  case $type in
    btrfs | ext* | f2fs | fuse* | nfs* | overlay | tmpfs | virtiofs | xfs | zfs) mount -o remount,bind,ro "$point" 2>&- || : ;;
  esac
done </proc/self/mounts
while [ "$1" != -- ]; do
  mount --rbind "$1" "$1"   # with what is mounted below it: the cache may be a disk of its own below /tmp
  mount -o remount,bind,rw "$1"
  shift
done
shift
cd "$PWD"          # the folder as it is mounted now
unset PWD OLDPWD   # the environment is the caller's choice
exec "$@"
