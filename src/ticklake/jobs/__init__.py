"""What is to be done and who does it: the queue, schedules, the worker, the manifest."""
