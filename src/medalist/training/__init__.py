"""From trees to an adapter: batches, ranks, sharding, checkpoints, the trainer."""

from ..tools.local_imports import import_bitsandbytes

import_bitsandbytes()  # before peft and the Trainer, which the modules import, do so
