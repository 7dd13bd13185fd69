# frozen_string_literal: true

# Lets in who brings a signed token. A web application makes it where somebody has signed in; this
# server checks it with the secret that the two share, and asks no database.
#
#   TOKEN_SECRET=... ruby -Ilib examples/token.rb [port]      (8080 by default; 0: any free port)
#   ruby examples/token.rb token ada                          (prints a token for Ada)
#
#   new WebSocket("wss://example.com/?token=" + token)
#
# A browser cannot set headers for a WebSocket. What is in the URL may be in a proxy's log, so the
# token lives for a minute, which is time enough to connect.

require "openssl"
require "securerandom"

$stdout.sync = true

# "user.expiry.signature", each readable in a URL.
class Tokens
  LIFETIME = 60 # seconds

  def initialize(secret)
    @secret = secret
  end

  def make(user, lifetime = LIFETIME)
    payload = "#{encode(user)}.#{Time.now.to_i + lifetime}"
    "#{payload}.#{encode(signature(payload))}"
  end

  # The user of a token; nil where the token is none of ours, or too old.
  def user(token)
    payload, _, signed = token.to_s.rpartition(".")
    user, expiry = payload.split(".", 2)
    # In constant time, so that nobody finds a signature byte by byte.
    return unless OpenSSL.secure_compare(signed, encode(signature(payload)))

    decode(user) if Time.now.to_i < Integer(expiry, 10)
  end

  private

  def signature(payload) = OpenSSL::HMAC.digest("SHA256", @secret, payload)
  def encode(bytes) = [bytes].pack("m0").tr("+/", "-_").delete("=")
  def decode(text) = text.tr("-_", "+/").unpack1("m").force_encoding(Encoding::UTF_8)
end

secret = ENV.fetch("TOKEN_SECRET") do
  abort "TOKEN_SECRET: give the secret that the server has" if ARGV[0] == "token"
  SecureRandom.hex(32)
end
tokens = Tokens.new(secret)
if ARGV[0] == "token"
  puts tokens.make(ARGV.fetch(1))
  exit
end

require "em-websocket"

EM.run do
  %w[INT TERM].each { |signal| trap(signal) { EM.stop } }

  server = EM::WebSocket.run(host: "127.0.0.1", port: ARGV[0] || ENV["PORT"] || 8080) do |ws|
    user = nil

    ws.onrequest do |handshake, response|
      user = tokens.user(handshake.query["token"])
      response.refuse(401, "A valid token is needed.\n") unless user
    end
    ws.onopen { ws.send("Hello #{user}") }
    ws.onmessage { |text| ws.send("#{user}: #{text}") }
    ws.onerror { |error| puts "refused: #{error.message}" }
  end

  port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
  puts "Asking for tokens on ws://127.0.0.1:#{port}/?token=#{tokens.make("Ada")}"
end
