# frozen_string_literal: true

require "zlib"
require_relative "../support/raw_client"

module Torture
  # A client that compresses (RFC 7692), contexts taken over both ways.
  class DeflateClient < RawClient
    COMPRESSED = 0x40
    TAIL = "\x00\x00\xFF\xFF".b.freeze
    OFFER = { "Sec-WebSocket-Extensions" => "permessage-deflate" }.freeze

    def open(headers: {}, **request)
      super(headers: OFFER.merge(headers), **request)
      raise "no permessage-deflate" unless response[:lines].grep(/permessage-deflate/).any?
    end

    def encode(type, payload, **options)
      return super unless %i[text binary].include?(type)

      @deflate ||= Zlib::Deflate.new(Zlib::DEFAULT_COMPRESSION, -Zlib::MAX_WBITS)
      compressed = @deflate.deflate(payload.b, Zlib::SYNC_FLUSH).delete_suffix(TAIL)
      super(type, compressed, **options, reserved: COMPRESSED)
    end

    def read_frame
      frame = super
      return frame unless frame.is_a?(Frame) && frame.reserved == COMPRESSED

      @inflate ||= Zlib::Inflate.new(-Zlib::MAX_WBITS)
      frame.payload = @inflate.inflate(frame.payload + TAIL)
      frame
    end
  end
end
