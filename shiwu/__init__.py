"""What every shiwu process stands on."""
