# frozen_string_literal: true

require "openssl"

# TLS for the tests' clients, which do not ask who the server is: its certificate is made anew each
# time.
module UnverifiedTls
  # @return [OpenSSL::SSL::SSLSocket] on this socket, which it closes with itself
  def self.connect(socket)
    context = OpenSSL::SSL::SSLContext.new
    context.verify_mode = OpenSSL::SSL::VERIFY_NONE
    OpenSSL::SSL::SSLSocket.new(socket, context).tap do |secured|
      secured.sync_close = true
      secured.connect
    end
  end
end
