"""What things cost: the schedule of gas and memory, segments, and static bounds."""
