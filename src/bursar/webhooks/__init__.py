"""Webhook inbox: store verified webhook events and process them later."""
