# frozen_string_literal: true

# Verify the signature of a webhook's request; needs nothing but Ruby's standard library.

require "openssl"

module WebhookSignature
  TOLERANCE = 5 * 60 # seconds

  # Tell whether a request was signed with this secret within the last five minutes.
  #
  # headers: finds a name such as "webhook-id", as Rails' request.headers do.
  # body: the bytes that came, before anything parsed them, such as Rails' request.raw_post.
  def self.valid?(headers, body, secret)
    id, timestamp, signatures = %w[id timestamp signature].map { |name| headers["webhook-#{name}"].to_s.b }
    return false if id.empty? || !timestamp.match?(/\A[0-9]{1,12}\z/)
    return false if (Time.now.to_i - timestamp.to_i).abs > TOLERANCE

    expected = [OpenSSL::HMAC.digest("SHA256", key(secret), "#{id}.#{timestamp}.".b + body.b)].pack("m0")
    # While a secret is replaced there are several, separated by spaces.
    signatures.split.any? do |signature|
      version, value = signature.split(",", 2)
      version == "v1" && OpenSSL.secure_compare(expected, value.to_s)
    end
  end

  def self.key(secret)
    key = secret.start_with?("whsec_") ? secret.delete_prefix("whsec_").unpack1("m0") : secret
    raise ArgumentError, "The webhook's secret is empty." if key.empty? # anybody could sign with it

    key
  end
  private_class_method :key
end
