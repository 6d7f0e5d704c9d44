"""What every stage costs beside what stands next to it: rows of ratios, measured in pairs."""
