#!/bin/bash
# Slurm on one machine, for tests: does what the command does whose name it is linked to. FAKE_SLURM is its folder:
#   given           the arguments of every sbatch, one a line
#   refuses, deaf   where such a file is, sbatch refuses with what is in it; no command gets an answer
#   jobs/ID/        state, status, pid of the script, restarts, requeue and cancelled (files that may be there)
set -u
home=$FAKE_SLURM

every() { # a process and all that came of it
    echo "$1"
    local child
    for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do every "$child"; done
}

say() { # whole, as others look at it
    echo "$2" >"$1.new"
    mv "$1.new" "$1"
}

job() { # the machine's part: runs a job until it is not queued again
    local here=$home/jobs/$1 status
    exec >>"$2" 2>&1
    echo 0 >"$here/restarts"
    while :; do
        rm -f "$here/requeue"
        SLURM_JOB_ID=$1 SLURM_RESTART_COUNT=$(cat "$here/restarts") bash "$here/script" &
        say "$here/pid" $!
        say "$here/state" RUNNING
        wait $!; status=$?
        [ -e "$here/requeue" ] || break
        echo $(($(cat "$here/restarts") + 1)) >"$here/restarts"
    done
    echo "$status" >"$here/status"
    [ "$status" -eq 0 ] && how=COMPLETED || how=FAILED
    [ -e "$here/cancelled" ] && how="CANCELLED by $UID"
    [ "$(cat "$here/state")" = RUNNING ] && say "$here/state" "$how" # or somebody says why it was killed
    touch "$here/over"
}

value() { # of --NAME=VALUE among the arguments
    local name=--$1= each
    shift
    for each; do [ "${each#"$name"}" = "$each" ] || echo "${each#"$name"}"; done
}

[ -e "$home/deaf" ] && { echo "Socket timed out on send/recv operation" >&2; exit 1; }
case ${0##*/} in
sbatch)
    printf '%s\n' "$@" >>"$home/given"
    [ -e "$home/refuses" ] && { cat "$home/refuses" >&2; exit 1; }
    number=$((41 + $(find "$home/jobs" -name '*_1' | wc -l)))
    name=$(value job-name "$@")
    for k in $(seq $(value array "$@" | tr - ' ')); do
        id=${number}_$k
        mkdir "$home/jobs/$id"
        say "$home/jobs/$id/state" PENDING
        echo "$name" >"$home/jobs/$id/name"
        cp "${!#}" "$home/jobs/$id/script"
        output=$(value output "$@")
        output=${output//%x/$name}; output=${output//%A_%a/$id}; output=${output//%%/%}
        job "$id" "$output" </dev/null >/dev/null 2>&1 &
    done
    echo "$number"
    ;;
squeue)
    for here in "$home"/jobs/*/; do
        [ -e "$here/state" ] && [ ! -e "$here/over" ] && [ "$(cat "$here/name")" = "$(value name "$@")" ] &&
            echo "$(basename "$here") $(cat "$here/state")"
    done
    true
    ;;
sacct)
    for id in $(value jobs "$@" | tr ',' ' '); do
        [ -e "$home/jobs/$id/over" ] && echo "$id|$(cat "$home/jobs/$id/state")|$(cat "$home/jobs/$id/status"):0"
    done
    true
    ;;
scancel)
    for id; do
        touch "$home/jobs/$id/cancelled"
        kill -TERM $(every "$(cat "$home/jobs/$id/pid")") # all processes of a job are told
    done
    ;;
scontrol)
    touch "$home/jobs/$2/requeue"
    ;;
esac
