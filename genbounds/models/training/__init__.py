"""What watches a training: its checkpoints in their order, a journal of measurements, monitors for any trainer."""
