"""Objects in S3 and in stores that speak its protocol; boto3 is known in this package alone, and inside functions.

Nothing is imported here, so that an address costs no more than its text.
"""
