#!/usr/bin/env bash
# A study on the nodes of a SLURM job: Ray's head and the study on the first, a worker on each of the others.
# Options are those of study.tune; submit it from where the results are to be, with this package on the PATH:
#
#     sbatch study/cluster/slurm.sh --space wgan_gp --name mine
#     sbatch --nodes 8 --time 24:00:00 study/cluster/slurm.sh --space wgan_gp --name mine
#     sbatch study/cluster/slurm.sh --resume results/mine        # goes on after the time limit, or a crash
#
#SBATCH --job-name=gan-study
#SBATCH --output=%x-%j.txt
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120  # two minutes before the limit the study ends, and keeps everything
#SBATCH --no-kill            # a node that is lost takes its trials' processes only: they go on elsewhere
#SBATCH --no-requeue         # the same command again would be another study
set -euo pipefail

hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
mapfile -t nodes <<< "$hosts"
head=${nodes[0]}
port=$((20000 + SLURM_JOB_ID % 3000 * 4)) # jobs that share a node have ports of their own

# Others on the cluster's network reach Ray's ports: a token, which only you can read, keeps them out.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(umask 077 && ray get-auth-token --generate)

started=()
trap 'kill "${started[@]}" 2> /dev/null || true; wait' EXIT

start_ray() { # on a node, with what the job has of it
    local node=$1
    shift
    srun --nodes=1 --ntasks=1 --nodelist="$node" --cpus-per-task="$SLURM_CPUS_PER_TASK" \
        ray start --block --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" "$@" &
    started+=($!)
}

start_ray "$head" --head --port="$port" --ray-client-server-port=$((port + 1)) \
    --dashboard-host=127.0.0.1 --dashboard-port=$((port + 2))
until (: > "/dev/tcp/$head/$port") 2> /dev/null; do
    kill -0 "${started[0]}" # or else it has said why, and this job ends
    sleep 1
done
for node in "${nodes[@]:1}"; do
    start_ray "$node" --address="$head:$port"
done
echo "dashboard: ssh -L 8265:localhost:$((port + 2)) $head, http://localhost:8265 (token: ray get-auth-token)"

export GAN_STUDY_LAUNCHER="sbatch study/cluster/slurm.sh" # goes on with the study, this cluster will not
python -m study.tune --address "$head:$port" --nodes "${#nodes[@]}" "$@" &
study=$!
started+=("$study")
trap 'kill -TERM "$study"; wait "$study" || exit $?' TERM
wait "$study"
