"""From a base model to a Gazal-R1 artifact: data, fine-tuning, rewards, merge."""
