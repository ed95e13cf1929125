"""The training loop: epochs, schedule, optimizer step, checkpoint, resume."""
