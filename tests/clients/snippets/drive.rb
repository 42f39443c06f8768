# frozen_string_literal: true

# Answers with what verify.rb says of each case.

require "json"
require File.join(ENV.fetch("SNIPPETS"), "verify")

answers = JSON.parse($stdin.read).transform_values do |given|
  WebhookSignature.valid?(given["headers"], given["body"].unpack1("m0"), given["secret"])
rescue ArgumentError
  false # the secret is empty
end
puts JSON.generate(answers)
