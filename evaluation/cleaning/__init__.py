"""What cleaning a catalogue is worth: `offline.cleaning` beside what others offer, in speed and in accuracy."""
