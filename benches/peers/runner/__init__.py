"""What benches/peers/run is made of: processes, servers, the load, sections, and the writers of RESULTS.md and its plot."""
