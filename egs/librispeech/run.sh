#!/usr/bin/env bash
# LibriSpeech, 960 hours: the road of egs/mini_librispeech with the sets and settings of the full corpus.
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P) || exit 1
own=(--conf "$here/conf/default.yaml" --data "$here/data" --exp "$here/exp" --other yes)
exec "$here/../mini_librispeech/run.sh" "${own[@]}" "$@"
