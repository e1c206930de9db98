"""From trees to an adapter: batches, ranks, sharding, checkpoints, the trainer."""

from ..tools.local_imports import import_bitsandbytes

import_bitsandbytes()  # before the modules import peft and the Trainer, which import it
