"""From trees to an adapter: batches, ranks, sharding, checkpoints, the trainer."""
