# frozen_string_literal: true

require "openssl"
require_relative "raw_client"

# A client over TLS with a certificate, versions or ciphers of its own choice.
class TlsClient < RawClient
  # Settings are attributes of OpenSSL::SSL::SSLContext.
  def initialize(port, hostname: nil, **settings)
    @hostname = hostname
    @settings = settings
    super(port, tls: true)
  end

  private

  def start_tls
    context = OpenSSL::SSL::SSLContext.new
    @settings.each { |name, value| context.public_send(:"#{name}=", value) }
    plain = @socket
    @socket = OpenSSL::SSL::SSLSocket.new(plain, context)
    @socket.sync_close = true
    @socket.hostname = @hostname if @hostname
    @socket.connect
  rescue OpenSSL::SSL::SSLError, SystemCallError
    plain.close
    raise
  end
end
